/** The settings of the broker tab as a form holds them, and as the API takes them. */

import type { ConfigInput, MqttConfig } from "~/api/types";

export interface BrokerForm {
  broker: {
    host: string;
    port: number | string;
    use_tls: boolean;
    verify_cert: boolean;
    username: string;
    /** Empty: the stored one stays. */
    password: string;
    client_id: string;
    keep_alive: number | string;
    clean_session: boolean;
  };
  topics: { prefix: string; pattern: string; use_shared: boolean; shared_group: string; qos: string };
}

const FRESH: BrokerForm = {
  broker: { host: "", port: 1883, use_tls: false, verify_cert: true, username: "", password: "", client_id: "", keep_alive: 60, clean_session: true },
  topics: { prefix: "/v3/applications", pattern: "{application_id}/business-events", use_shared: true, shared_group: "bre", qos: "1" },
};

/** What the form shows at first: what is stored, or the defaults. */
export function formOf(config: MqttConfig | null): BrokerForm {
  if (!config) return FRESH;
  const { broker, topics } = config;
  return {
    broker: {
      host: broker.host, port: broker.port, use_tls: broker.use_tls, verify_cert: broker.verify_cert,
      username: broker.username ?? "", password: "", client_id: broker.client_id ?? "", keep_alive: broker.keep_alive,
      clean_session: broker.clean_session,
    },
    topics: {
      prefix: topics.prefix, pattern: topics.pattern, use_shared: topics.use_shared,
      shared_group: topics.shared_group ?? "", qos: String(topics.qos),
    },
  };
}

/** The body of a write or a test. An untouched password is left out: the stored one stays. */
export function bodyOf({ broker, topics }: BrokerForm): ConfigInput {
  const { password, username, client_id, ...rest } = broker;
  return {
    broker: {
      ...rest,
      host: broker.host.trim(),
      port: Number(broker.port),
      keep_alive: Number(broker.keep_alive),
      username: username || null,
      client_id: client_id || null,
      ...(password ? { password } : {}),
    },
    topics: { ...topics, shared_group: topics.shared_group || null, qos: Number(topics.qos) },
  };
}

/** The rules of the API that a form can know; the service checks all of them again. */
export const RULES = {
  broker: {
    host: (text: string) => (/^[^\s/@]{1,255}$/.test(text.trim()) ? null : "A host name or IP address, without scheme, port or spaces"),
    port: (value: number | string) => whole(value, 1, 65_535),
    keep_alive: (value: number | string) => whole(value, 10, 3600),
    username: (text: string) => atMost(text, 255),
    password: (text: string) => atMost(text, 512),
    client_id: (text: string) => atMost(text, 255),
  },
  topics: {
    prefix: (text: string) => (text === "" ? "Enter a prefix" : atMost(text, 255)),
    pattern: (text: string) => (text === "" ? "Enter a pattern" : atMost(text, 255)),
    shared_group: (text: string, all: BrokerForm) => {
      if (!all.topics.use_shared && text === "") return null;
      return /^[^/+#]{1,100}$/.test(text) ? null : "1 to 100 characters, without / + #";
    },
  },
};

export const FIELDS = [
  ...Object.keys(FRESH.broker).map((name) => `broker.${name}`),
  ...Object.keys(FRESH.topics).map((name) => `topics.${name}`),
];

function whole(value: number | string, least: number, most: number): string | null {
  const number = Number(value);
  return value !== "" && Number.isInteger(number) && number >= least && number <= most ? null : `A whole number from ${least} to ${most}`;
}

function atMost(text: string, most: number): string | null {
  return text.length <= most ? null : `At most ${most} characters`;
}
