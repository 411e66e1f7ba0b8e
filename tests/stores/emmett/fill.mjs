// Appends the events on standard input (NDJSON) to the store at the URL given, one by one.
import { createInterface } from 'node:readline';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';

const store = getPostgreSQLEventStore(process.argv[2]);
for await (const line of createInterface({ input: process.stdin })) {
  const { id, stream, type, data, metadata } = JSON.parse(line);
  await store.appendToStream(stream, [{ type, data, metadata: { ...metadata, messageId: id } }]);
}
await store.close();
