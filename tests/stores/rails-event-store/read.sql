SELECT e.id, event_id::text, stream, event_type, (extract(epoch FROM e.created_at) * 1000)::bigint, data::text, metadata::text
FROM event_store_events e
JOIN LATERAL (
    SELECT stream FROM event_store_events_in_streams s WHERE s.event_id = e.event_id ORDER BY id LIMIT 1
) first ON true
ORDER BY e.id
