SELECT message_store.write_message($1, $2, $3, $4::text::jsonb)
