-- Sums of speed, coolant and ambient temperature in each measurement session.
SELECT profile_id, sum(motor_speed) AS sum_motor_speed, sum(coolant) AS sum_coolant, sum(ambient) AS sum_ambient
FROM pmsm_temperature_stream
GROUP BY profile_id
ORDER BY profile_id;
