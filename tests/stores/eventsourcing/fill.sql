-- The store has no id, no stream name and no metadata: an event is known by its aggregate's UUID and its version.
INSERT INTO orders_events (originator_id, originator_version, topic, state)
SELECT aggregate, version, 'orders:Order.' || type, convert_to((
    jsonb_build_object('timestamp', jsonb_build_object(
        '_type_', 'datetime_iso', '_data_', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')))
    || CASE version WHEN 1 THEN '{"originator_topic": "orders:Order"}' ELSE '{}' END::jsonb
    || data::jsonb
)::text, 'UTF8')
FROM (
    SELECT history.*,
        coalesce(last.originator_version, 0) + row_number() OVER (PARTITION BY aggregate ORDER BY number) AS version
    FROM history
    LEFT JOIN LATERAL (
        SELECT originator_version FROM orders_events WHERE originator_id = aggregate ORDER BY originator_version DESC LIMIT 1
    ) last ON true
) event
ORDER BY number;
