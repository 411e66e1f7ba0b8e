-- A home-made event table, as many applications have one.
CREATE TABLE events (
    position bigserial PRIMARY KEY,
    id text NOT NULL UNIQUE,
    stream text NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb,
    time timestamptz NOT NULL DEFAULT now()
);
