import { describe, expect, it } from "vitest";

import { between, partsOf, revisionWords } from "./changes";

const orders = { id: 1, name: "orders", topic: null, enabled: true, description: "", concurrency: 16, actions: [{ type: "http_webhook", config: { url: "https://a.example.com" } }] };
const base = {
  broker: { host: "mqtt.example.com", port: 1883, use_tls: false, password: "***" },
  topics: { prefix: "/v3/shop", qos: 1 },
  variables: { application_id: "shop" },
  subscriptions: [orders],
  secrets: { token: "2026-01-31T08:00:00Z" },
};
const parts = (after: object, before: object = base) => partsOf(between(before as Record<string, unknown>, after as Record<string, unknown>));

describe("partsOf", () => {
  it("tells each field in words", () => {
    expect(parts({ ...base, broker: { ...base.broker, port: 8883, use_tls: true, password: null } })).toEqual([
      {
        name: "Broker",
        kind: "changed",
        fields: [
          { name: "Port", before: "1883", after: "8883" },
          { name: "Password", before: "stored", after: "none" },
          { name: "TLS", before: "off", after: "on" },
        ],
      },
    ]);
  });
  it("goes into the actions of a subscription, which may be renamed", () => {
    const action = { type: "http_webhook", config: { url: "https://b.example.com", headers: { accept: "*/*" } } };
    const [found] = parts({ ...base, subscriptions: [{ ...orders, name: "paid", topic: "a/b", actions: [action] }] });
    expect(found).toEqual({
      name: "Subscription paid",
      kind: "changed",
      fields: [
        { name: "Name", before: "orders", after: "paid" },
        { name: "Topic", before: "made from prefix, pattern and name", after: "a/b" },
        { name: "Action 1 › config › url", before: "https://a.example.com", after: "https://b.example.com" },
        { name: "Action 1 › config › headers › accept", before: "none", after: "*/*" },
      ],
    });
  });
  it("tells what is new and what is gone", () => {
    expect(parts({ ...base, subscriptions: [] }).map(({ name, kind }) => [name, kind])).toEqual([["Subscription orders", "removed"]]);
    expect(parts({ ...base, subscriptions: [orders, { ...orders, id: 2, name: "paid" }] }).map(({ name, kind }) => [name, kind]))
      .toEqual([["Subscription paid", "added"]]);
  });
  it("reads what the service tells the same way", () => {
    const told = [{ path: ["subscriptions", "orders", "enabled"], before: true, after: false }, { path: ["topics", "qos"], before: 1, after: 0 }];
    expect(partsOf(told)).toEqual([
      { name: "Topics", kind: "changed", fields: [{ name: "Quality of service", before: "1", after: "0" }] },
      { name: "Subscription orders", kind: "changed", fields: [{ name: "On", before: "on", after: "off" }] },
    ]);
  });
  it("never shows more of a secret than since when it stands", () => {
    const [found] = parts({ ...base, secrets: { token: "2026-02-01T08:00:00Z" } });
    expect(found?.fields[0]).toMatchObject({ name: "token", before: expect.stringContaining("stored") as string });
  });
});

describe("revisionWords", () => {
  it.each([
    [{ action: "put_config", before: null, after: base }, "Configuration created", ""],
    [{ action: "delete_config", before: base, after: null }, "Configuration deleted", ""],
    [{ action: "put_config", before: base, after: base }, "Broker and topics changed", "A stored password or key, which is not shown"],
    [{ action: "update_product", before: base, after: { ...base, variables: {} } }, "Variables changed", "Variables: application_id"],
    [{ action: "delete_subscription", before: base, after: { ...base, subscriptions: [] } }, "Subscription deleted", "Subscription orders removed"],
    [{ action: "some_new_thing", before: base, after: { ...base, topics: { prefix: "a", qos: 0 } } }, "some new thing", "Topics: Topic prefix, Quality of service"],
  ])("%o", (revision, title, detail) => {
    expect(revisionWords(revision)).toEqual({ title, detail });
  });
});
