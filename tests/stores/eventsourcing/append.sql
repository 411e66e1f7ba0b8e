INSERT INTO orders_events (originator_id, originator_version, topic, state)
SELECT stream, (SELECT coalesce(max(originator_version), 0) + 1 FROM orders_events WHERE originator_id = stream),
    'orders:Order.' || $3, convert_to((
        jsonb_build_object('timestamp', jsonb_build_object(
            '_type_', 'datetime_iso', '_data_', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')),
            'id', $1::text)
        || $4::text::jsonb
    )::text, 'UTF8')
FROM (SELECT md5($2)::uuid AS stream) named
