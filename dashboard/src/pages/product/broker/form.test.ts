import { describe, expect, it } from "vitest";

import { bodyOf, formOf, RULES } from "./form";

describe("the broker form", () => {
  it("leaves an untouched password out, so that the stored one stays", () => {
    expect(bodyOf(formOf(null)).broker).not.toHaveProperty("password");
  });

  it("sends a new password, and numbers as numbers", () => {
    const form = formOf(null);
    const body = bodyOf({ ...form, broker: { ...form.broker, host: " broker.example.com ", port: "8883", password: "made-up" } });
    expect(body.broker).toMatchObject({ host: "broker.example.com", port: 8883, password: "made-up", username: null });
  });

  it.each(["mqtt://broker.example.com", "two words", ""])("refuses %j as a host", (host) => {
    expect(RULES.broker.host(host)).not.toBeNull();
  });

  it.each([0, 65_536, 1.5, ""])("refuses %j as a port", (port) => {
    expect(RULES.broker.port(port)).not.toBeNull();
  });

  it("asks for a group only where it is used", () => {
    const form = formOf(null);
    expect(RULES.topics.shared_group("", form)).not.toBeNull();
    expect(RULES.topics.shared_group("", { ...form, topics: { ...form.topics, use_shared: false } })).toBeNull();
  });
});
