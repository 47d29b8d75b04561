BEGIN TRANSACTION;
CREATE TABLE uploads (
      document_id text primary key, source_id text not null, provider text not null,
      tries integer not null, first real not null, since real not null,
      upload text not null, given_up integer not null default 0) without rowid;
INSERT INTO "uploads" VALUES('9420d117-6990-55bf-8bbd-3d3dc584f7f2','files__default: 20','files__default',1,1.79587195015781855584e+09,1.79587195015781855584e+09,'44a5e34e5f8a4505a5c1a126acd5ff30',0);
INSERT INTO "uploads" VALUES('9e4b80ff-d5c1-525e-9473-4d182ea0bd3e','files__default: 21','files__default',1,1.79587195015809631347e+09,1.79587195319782900806e+09,'f5e49ace2101462991acb45b55ac7474',1);
CREATE INDEX uploads_provider on uploads (provider);
COMMIT;
PRAGMA user_version = 1;
