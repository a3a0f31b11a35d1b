-- The first ten readings. The query that Athena was given had no ORDER BY, so each run could answer with other rows.
SELECT *
FROM pmsm_temperature_stream
ORDER BY profile_id, id
LIMIT 10;
