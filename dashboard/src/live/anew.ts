/** Reads queries anew after events. */

import type { QueryClient, QueryFilters } from "@tanstack/react-query";

/**
 * A function that reads what `filters` match anew; `name` stands for them.
 * One reading at a time, however many events come, and one more when an event came meanwhile: an answer that was on
 * its way may be from before it.
 */
export function rereading(client: QueryClient): (name: string, filters: QueryFilters) => void {
  const wanted = new Map<string, boolean>();
  const read = async (name: string, filters: QueryFilters): Promise<void> => {
    let overtaken = client.isFetching({ ...filters, type: "active" }) > 0;
    do {
      wanted.set(name, overtaken);
      overtaken = false;
      await client.invalidateQueries(filters, { cancelRefetch: false });
    } while (wanted.get(name));
    wanted.delete(name);
  };
  return (name, filters) => {
    if (wanted.has(name)) wanted.set(name, true);
    else void read(name, filters);
  };
}
