BEGIN TRANSACTION;
CREATE TABLE collections (
      store text not null, name text not null, id text not null, primary key (store, name)) without rowid;
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:p:6465636b5f5f6465636b','067cd4dc-f92e-4f63-9daa-631d80642fa9');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:p:66696c65735f5f64656661756c74','686988cc-8137-4162-ae61-b7de6cfc8d20');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:p:6d61696c5f5f6d61696c','695e2ba9-2400-45ee-afd7-491428f0f6b6');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:p:6e6f7465735f5f6e6f746573','a783015c-5a06-43c6-996e-ff566263ef3f');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:u:616c696365','eaa99e9b-fc2a-47c1-872b-60bcc8670b28');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:u:626f62','c59fb23a-020e-4517-bee5-cdd721ff524d');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:u:6361726f6c','6dd9f6c2-3a6d-4d24-870d-087a4cfc6673');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:u:646f7261','d5e9469c-2d38-4e1e-a7e0-15302c74317b');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:u:6572696e','db6d2317-1a98-4dad-93b0-e36b1ed61dfb');
INSERT INTO "collections" VALUES('abf0e29a-a9c6-4b63-8478-d6d0d85c6057','cc:9b20514d1709:u:6ac3b67267','ed943d11-d8ab-4780-9a41-fa0a4c318c0b');
COMMIT;
PRAGMA user_version = 1;
