SELECT se.stream_version, se.event_id::text, stream_uuid, event_type, (extract(epoch FROM events.created_at) * 1000)::bigint,
    convert_from(data, 'UTF8'), convert_from(metadata, 'UTF8')
FROM stream_events se JOIN events USING (event_id) JOIN streams ON streams.stream_id = original_stream_id
WHERE se.stream_id = 0 ORDER BY se.stream_version
