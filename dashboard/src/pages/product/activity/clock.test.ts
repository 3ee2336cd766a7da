import { afterEach, describe, expect, it, vi } from "vitest";

import { heard, offset, serviceNow } from "./clock";

const NOW = Date.parse("2026-01-31T08:00:00Z");

afterEach(() => {
  vi.useRealTimers();
});

describe("the service's clock", () => {
  it.each([
    ["2026-01-31T10:00:00Z", 7_200_000],
    ["2026-01-31T07:30:00Z", -1_800_000],
    ["2026-01-31T08:00:01.5Z", 0],
  ])("told %s it is %i ms ahead", (at, ms) => {
    vi.useFakeTimers({ now: NOW });
    heard(at);
    expect(offset()).toBe(ms);
    vi.setSystemTime(NOW + 1000);
    expect(serviceNow()).toBe(NOW + 1000 + ms);
    heard(at);
    expect(offset()).toBe(ms);
  });
});
