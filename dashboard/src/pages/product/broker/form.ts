/** The broker and topic settings as a form: from the API, checked as the API does, and back. */

import type { Broker, ConfigInput, MqttConfig } from "~/api/types";

import { differences, type Conflict } from "../conflicts";

export interface BrokerForm {
  host: string;
  port: number | string;
  username: string;
  /** Empty: keep what is stored. */
  password: string;
  removePassword: boolean;
  client_id: string;
  keep_alive: number | string;
  clean_session: boolean;
  use_tls: boolean;
  verify_cert: boolean;
  protocol: Broker["protocol"];
  session_expiry_seconds: number | string;
  transport: Broker["transport"];
  websocket_path: string;
  tls_min_version: Broker["tls_min_version"];
  ca_certificate: string;
  client_certificate: string;
  client_key: string;
  removeClientKey: boolean;
  prefix: string;
  pattern: string;
  use_shared: boolean;
  shared_group: string;
  qos: number;
}

type Field = keyof BrokerForm;

const NEW: BrokerForm = {
  host: "", port: 1883, username: "", password: "", removePassword: false, client_id: "", keep_alive: 60, clean_session: true,
  use_tls: false, verify_cert: true, protocol: "3.1.1", session_expiry_seconds: 604_800, transport: "tcp", websocket_path: "/mqtt",
  tls_min_version: "1.2", ca_certificate: "", client_certificate: "", client_key: "", removeClientKey: false,
  prefix: "/v3/applications", pattern: "{application_id}/business-events", use_shared: true, shared_group: "bre", qos: 1,
};

/** What the form is filled with; `null`: not configured yet. */
export function formOf(config: Pick<MqttConfig, "broker" | "topics"> | null): BrokerForm {
  if (!config) return NEW;
  const { broker, topics } = config;
  return {
    ...NEW,
    ...broker,
    username: broker.username ?? "",
    client_id: broker.client_id ?? "",
    ca_certificate: broker.ca_certificate ?? "",
    client_certificate: broker.client_certificate ?? "",
    ...topics,
    shared_group: topics.shared_group ?? "",
    // A secret is never shown: the form holds a new one only.
    password: "",
    client_key: "",
  };
}

/** What is sent: whole settings, so that nothing of another revision stays by accident; secrets only when changed. */
export function inputOf(form: BrokerForm): ConfigInput {
  const { host, use_tls, verify_cert, clean_session, protocol, transport, websocket_path, tls_min_version } = form;
  return {
    broker: {
      host: host.trim(), port: Number(form.port), use_tls, verify_cert, clean_session, protocol, transport, websocket_path, tls_min_version,
      username: form.username || null,
      client_id: form.client_id || null,
      keep_alive: Number(form.keep_alive),
      session_expiry_seconds: Number(form.session_expiry_seconds),
      ca_certificate: form.ca_certificate.trim() || null,
      client_certificate: form.client_certificate.trim() || null,
      ...secret("password", form.password, form.removePassword),
      ...secret("client_key", form.client_key, form.removeClientKey),
    },
    topics: {
      prefix: form.prefix,
      pattern: form.pattern,
      use_shared: form.use_shared,
      qos: form.qos,
      ...(form.shared_group || form.use_shared ? { shared_group: form.shared_group } : {}),
    },
  };
}

function secret(name: "password" | "client_key", text: string, removed: boolean): Record<string, string | null> {
  if (removed) return { [name]: null };
  return text ? { [name]: text } : {};
}

/** What is wrong, by field; the service checks again, and more. */
export function faultsOf(form: BrokerForm): Partial<Record<Field, string>> {
  const found: Partial<Record<Field, string>> = {};
  const check = (field: Field, wrong: boolean, text: string): void => {
    if (wrong) found[field] ??= text;
  };
  const host = form.host.trim();
  check("host", host === "", "Enter the broker's host name or IP address");
  check("host", host.includes("://"), "Without a scheme such as mqtt://: the switch below chooses TLS");
  check("host", /\s/.test(host), "Without spaces");
  check("host", /^[^:]*:\d*$/.test(host), "Without a port: it has its own field");
  check("host", host.length > 255, "At most 255 characters");
  check("port", !whole(form.port, 1, 65_535), "A whole number from 1 to 65535");
  check("username", form.username.length > 255, "At most 255 characters");
  check("password", form.password.length > 512, "At most 512 characters");
  check("client_id", form.client_id.length > 255, "At most 255 characters");
  check("keep_alive", !whole(form.keep_alive, 10, 3600), "From 10 to 3600 seconds");
  check("session_expiry_seconds", !whole(form.session_expiry_seconds, 0, 4_294_967_295), "From 0 to 4294967295 seconds");
  check("websocket_path", form.transport === "websockets" && !form.websocket_path.startsWith("/"), "Begins with /");
  for (const field of ["prefix", "pattern"] as const) {
    check(field, form[field] === "", "Must not be empty");
    check(field, form[field].length > 255, "At most 255 characters");
  }
  check("shared_group", form.use_shared && form.shared_group === "", "Needed for shared subscriptions");
  check("shared_group", form.shared_group.length > 100, "At most 100 characters");
  check("shared_group", /[/+#]/.test(form.shared_group), "Without /, + and #");
  return found;
}

function whole(value: number | string, least: number, most: number): boolean {
  const number = typeof value === "number" ? value : value.trim() === "" ? NaN : Number(value);
  return Number.isInteger(number) && number >= least && number <= most;
}

export const LABELS: Record<Exclude<Field, "removePassword" | "removeClientKey">, string> = {
  host: "Host", port: "Port", username: "User name", password: "Password", client_id: "Client id", keep_alive: "Keep alive (seconds)",
  clean_session: "Clean session", use_tls: "TLS", verify_cert: "Verify the certificate", protocol: "MQTT version",
  session_expiry_seconds: "Session expiry (seconds)", transport: "Transport", websocket_path: "WebSocket path",
  tls_min_version: "Lowest TLS version", ca_certificate: "Trusted authorities", client_certificate: "Client certificate",
  client_key: "Client key", prefix: "Topic prefix", pattern: "Topic pattern", use_shared: "Shared subscriptions",
  shared_group: "Shared group", qos: "Quality of service",
};

const COMPARED = Object.keys(LABELS).filter((each) => each !== "password" && each !== "client_key") as (keyof typeof LABELS)[];

/** Where my version differs from theirs; both came from `base`. */
export function conflicts(base: BrokerForm, mine: BrokerForm, theirs: BrokerForm): Conflict[] {
  return differences(COMPARED, (form, field) => shown(form[field]), base, mine, theirs);
}

function shown(value: BrokerForm[Field]): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return String(value) === "" ? "none" : String(value);
}

/** Field of the form for the place of a fault: `broker.port` is `port`. */
export function fieldAt(loc: string): string {
  const name = loc.replace(/^(broker|topics)\./, "");
  return name in LABELS ? name : "";
}

