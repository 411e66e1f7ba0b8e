INSERT INTO domain_event_entry (global_index, event_identifier, meta_data, payload, payload_type, time_stamp,
    aggregate_identifier, sequence_number, type)
SELECT nextval('hibernate_sequence'), event.* FROM (
    SELECT id, convert_to(metadata, 'UTF8'), convert_to(data, 'UTF8'), type,
        to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), stream,
        coalesce(last.sequence_number, -1) + row_number() OVER (PARTITION BY stream ORDER BY number), 'Order'
    FROM history
    LEFT JOIN LATERAL (
        SELECT sequence_number FROM domain_event_entry WHERE aggregate_identifier = stream
        ORDER BY sequence_number DESC LIMIT 1
    ) last ON true
    ORDER BY number
) event;
