SELECT global_index, event_identifier, aggregate_identifier, payload_type,
    (extract(epoch FROM time_stamp::timestamptz) * 1000)::bigint, convert_from(payload, 'UTF8'), convert_from(meta_data, 'UTF8')
FROM domain_event_entry ORDER BY global_index
