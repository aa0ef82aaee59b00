-- slasher_role.sql: the database role of owm-slasher, and all that it may do (docs/slashing.md). Run it as
-- the owner of the coordinator's database, then: ALTER ROLE owm_slasher PASSWORD '…';
CREATE ROLE owm_slasher LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT CONNECTION LIMIT 4;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO owm_slasher;
GRANT SELECT ON slash_cases, slash_acts TO owm_slasher;
GRANT SELECT, INSERT, UPDATE ON slash_evictions TO owm_slasher;
