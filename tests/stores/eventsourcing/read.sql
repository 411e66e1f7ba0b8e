SELECT notification_id, originator_id || '/' || originator_version, originator_id::text, split_part(topic, '.', -1),
    (extract(epoch FROM (state->'timestamp'->>'_data_')::timestamptz) * 1000)::bigint,
    (state - ARRAY['timestamp', 'originator_topic'])::text, NULL
FROM (
    SELECT notification_id, originator_id, originator_version, topic, convert_from(state, 'UTF8')::jsonb AS state FROM orders_events
) event
ORDER BY notification_id
