-- Sums of the temperatures for each temperature of the permanent magnet (pm).
SELECT pm, sum(pm) AS sum_pm, sum(stator_tooth) AS sum_stator_tooth, sum(stator_winding) AS sum_stator_winding
FROM pmsm_temperature_stream
GROUP BY pm
ORDER BY pm;
