BEGIN TRANSACTION;
CREATE TABLE flags (name text primary key, value text not null) without rowid;
INSERT INTO "flags" VALUES('accept next backend','no');
INSERT INTO "flags" VALUES('backend','qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef');
INSERT INTO "flags" VALUES('enabled','1');
INSERT INTO "flags" VALUES('init_pending','1');
INSERT INTO "flags" VALUES('used qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','yes');
CREATE TABLE held_actions (
      digest text not null, kind text not null, key text not null, since real not null, expires_at real not null,
      primary key (kind, key, digest)) without rowid;
CREATE TABLE upserts (
      backend text not null, source_id text not null, content text, meta text,
      readers text, exact integer not null, modified integer not null, seen_at real not null,
      primary key (backend, source_id)) without rowid;
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','deck__deck: 1','c08e2c34df56b4cfce1e66bd9f47ef117a77abd241a4031d67070e3586ff7858','51aafeabd09409860f3168c1da55b4f3c5d0799435b46bc2128032b753469ea2','18fa15c442adf6103060e7577e202b4581b185ac52897931ab76233cc5aecb0b',0,1750000000,1.79587193826922178266e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','deck__deck: 2','829d3dda11c902aa5ef9ec612ad64e291ec633a6332f5b9036c4b88e8a5378c0','949fd3dd1e29ad7c7090601f0450c0e1558b244ae360830e77f4f91ff289dbeb','8fe835a264c7b5439d4b313e7c14ea7491f5b735ab837d31e8cca4e7b451383f',0,1750000000,1.79587193828251218789e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','files__default: 1','8c5cb42f6c19fb9c50e50fd3c892daf79626a2194f2e6b1254b1d45c452d5ee7','20195da831bc415fdfea77774583f6e886def920159c8b8445270b336c4b6f9f','18fa15c442adf6103060e7577e202b4581b185ac52897931ab76233cc5aecb0b',0,1750000000,1.795871938232707262e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','files__default: 2','9e6318bff8688ce34a1e7175f67c978e9ebbce6b3cb75cfa119e7dcbf7d07c0b','a9d859d63a09da77ebabd38bc8aa63ff7504d0d32efb6c6555f2730b1d9a2712','dffc33d7c785711f48c02da0cd546c4252d232f932a85a4fe74d46adb003520e',0,1750000000,1.79587193823940634729e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','files__default: 3','c33d7f117cbdbdcef7bf83bb7c14752c82a43d8e341a362d05ce5587745b3bf4','b3ff7dff4f188b13ceaeef920b01c704080273226d8646982fadcaf80f397c43','c76087ab2c3c02eb461188001f521e276b22aa4c80c95db400956617a023b04e',0,1750000000,1.79587193824176716804e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','files__default: 4','5e3dc15f73a54f87ba505948101a85ba4672d5a359501b683b2ea51a0e12e0bd','089eb554df280b7d713f3d1e41a6402f3d2d67e96cb08249ccace91b155d90c9','18fa15c442adf6103060e7577e202b4581b185ac52897931ab76233cc5aecb0b',1,1750000001,1.79587193799604892723e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','files__default: 5','b381453f01e3c2ab47ae69979e29bd65233e57bcf2082e938b4fd0f142accc30','1840fdaa85865aec36c8269a9cc3ed1bee8d1dd50dc95f0a6ae8a7077ab2f94f','f4c13fc5839cb9d64f3717811972ee149c029dde4a52a29c3d59261768164c54',0,1750000000,1.79587193824018406872e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','files__default: 8','8c6cef27dc169e87fdbb4921e6bcb8901c60f60af31f0ffe37c60c817d694275','2e4991e59a22b4227d0b70ec254ba0118f48405f4c3985fae204cc91f1104a3d','99b02a9500f307615c82f0b19d67b7246e26bd54879a13fee9e424ed11510e02',0,1750000000,1.79587193825757646557e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','mail__mail: 12:345','1af68b383a625ca6de4f1a10ee76ead5ad3cfa38b479d38c7bda7ff1b1dab388','1a6d1910513ebaf7fa065cef0a702f460d5ffb65c1ba36ced52ad95e84250971','e4c75d45f929e0e01bef586128f8f7a76dbd0d8eb681d2613a546d4e40edae0d',0,1750000000,1.79587193825980806355e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','mail__mail: 12:346','6f18148172541ffce6c2e2014c0d21b5bdc1d8334548f8978199a215e650ad60','0b1e9ac00231c8ac971c07a49371d823b7df2fff08456293aa5101db45985bc4',NULL,0,1750000000,1.79587193826000380515e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','notes__notes: 1','28f1422945b50ce0706363047878517a050bb52018494f039f1abf77fa7e3180','aedffece4bfbd1b189f96fb8337c4110fabfd349a0af4884f93480ea699b67a8','8e4638fe6c951d48bb49f323050477da8d21a78e7d0615991e147ce8a163bb6f',0,1750000000,1.79587193828238797185e+09);
INSERT INTO "upserts" VALUES('qdrant:9a4d1e69-c0c0-4c6b-8897-cbe7f436acef','notes__notes: 2','67c21e9a5082c8fd244cdc991fd074db819dd101fe55f240e9d7d5b3fd9b9696','606a5f9897f0c447c3a505bf63408f8df568013b48f632256e77b67776b2767c','de19f72adbe67820fdef05fb98e26d170316c6fbfd37343bdcd4a4402a8ba147',0,1750000000,1.79587193828209972382e+09);
CREATE INDEX held_actions_digest on held_actions (digest);
COMMIT;
PRAGMA user_version = 1;
