-- Readings in each measurement session.
SELECT profile_id, count(profile_id) AS readings
FROM pmsm_temperature_stream
GROUP BY profile_id
ORDER BY profile_id;
