-- A hole.
SELECT nextval('orders_events_notification_id_seq');
