import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, it, vi } from "vitest";

import { rereading } from "./anew";

/** A page that shows a value of the service, which answers late with what it was when it was asked. */
function page() {
  const service = { value: "old", asked: 0 };
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
  const observer = new QueryObserver(client, {
    queryKey: ["value"],
    queryFn: async () => {
      service.asked += 1;
      const answer = service.value;
      await new Promise((done) => setTimeout(done, 20));
      return answer;
    },
  });
  const close = observer.subscribe(() => undefined);
  const again = rereading(client);
  return { service, again: () => { again("value", { queryKey: ["value"] }); }, shown: () => client.getQueryData(["value"]), close };
}

it("does not stay with an answer that was on its way when the event came", async () => {
  const { service, again, shown, close } = page();
  service.value = "new";
  again();
  await vi.waitFor(() => { expect(shown()).toBe("new"); });
  expect(service.asked).toBe(2);
  close();
});

it("reads once more for any number of events during a reading", async () => {
  const { service, again, shown, close } = page();
  await vi.waitFor(() => { expect(shown()).toBe("old"); });
  again();
  for (let event = 0; event < 50; event++) {
    service.value = `new ${event}`;
    again();
  }
  await vi.waitFor(() => { expect(shown()).toBe("new 49"); });
  await new Promise((done) => setTimeout(done, 60));
  expect(service.asked).toBe(3);
  close();
});
