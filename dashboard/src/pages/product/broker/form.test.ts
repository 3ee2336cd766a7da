import { describe, expect, it } from "vitest";

import { merged } from "../conflicts";
import { conflicts, faultsOf, fieldAt, formOf, inputOf } from "./form";

const fresh = { ...formOf(null), host: "mqtt.example.com" };

describe("faultsOf", () => {
  it("accepts what is there by default, once a host is given", () => {
    expect(faultsOf(fresh)).toEqual({});
    expect(Object.keys(faultsOf(formOf(null)))).toEqual(["host"]);
  });
  it.each([
    [{ host: "mqtt://a" }, "host"],
    [{ host: "a:1883" }, "host"],
    [{ host: "a b" }, "host"],
    [{ port: 0 }, "port"],
    [{ port: "" }, "port"],
    [{ port: 65_536 }, "port"],
    [{ port: 1.5 }, "port"],
    [{ keep_alive: 9 }, "keep_alive"],
    [{ prefix: "" }, "prefix"],
    [{ shared_group: "" }, "shared_group"],
    [{ shared_group: "a/b" }, "shared_group"],
    [{ password: "x".repeat(513) }, "password"],
  ])("%o", (change, field) => {
    expect(Object.keys(faultsOf({ ...fresh, ...change }))).toEqual([field]);
  });
  it("lets an address of IPv6 through", () => {
    expect(faultsOf({ ...fresh, host: "2001:db8::1" })).toEqual({});
  });
});

describe("inputOf", () => {
  it("sends a secret only when it changes", () => {
    expect(inputOf(fresh).broker).not.toHaveProperty("password");
    expect(inputOf({ ...fresh, password: "made-up" }).broker.password).toBe("made-up");
    expect(inputOf({ ...fresh, removePassword: true }).broker.password).toBeNull();
  });
  it("sends nothing where nothing is entered", () => {
    expect(inputOf(fresh).broker).toMatchObject({ username: null, client_id: null, ca_certificate: null });
  });
});

describe("conflicts", () => {
  it("shows what differs, and proposes theirs where I changed nothing", () => {
    const mine = { ...fresh, port: 1884 };
    const theirs = { ...fresh, port: 8883, use_tls: true };
    const found = conflicts(fresh, mine, theirs);
    expect(found).toEqual([
      { field: "port", mine: "1884", theirs: "8883", untouched: false },
      { field: "use_tls", mine: "off", theirs: "on", untouched: true },
    ]);
    expect(merged(mine, theirs, new Set(["use_tls"]))).toEqual({ ...fresh, port: 1884, use_tls: true });
  });
});

it("finds the field of a fault", () => {
  expect([fieldAt("broker.port"), fieldAt("topics.qos"), fieldAt("broker")]).toEqual(["port", "qos", ""]);
});
