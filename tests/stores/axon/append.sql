INSERT INTO domain_event_entry (global_index, event_identifier, meta_data, payload, payload_type, time_stamp,
    aggregate_identifier, sequence_number, type)
SELECT nextval('hibernate_sequence'), $1, '{}', convert_to($4, 'UTF8'), $3,
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), $2,
    (SELECT coalesce(max(sequence_number), -1) + 1 FROM domain_event_entry WHERE aggregate_identifier = $2), 'Test'
