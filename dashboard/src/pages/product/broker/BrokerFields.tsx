import { Button, Collapse, NumberInput, Select, SimpleGrid, Stack, Switch, Textarea, TextInput, Title } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { useState } from "react";

import type { Broker } from "~/api/types";

import { LABELS, type BrokerForm } from "./form";
import { SecretField } from "./SecretField";

interface Props {
  form: UseFormReturnType<BrokerForm>;
  stored: Broker | undefined;
  readOnly: boolean;
}

const ADVANCED = [
  "protocol", "session_expiry_seconds", "transport", "websocket_path", "tls_min_version", "ca_certificate", "client_certificate", "client_key",
] as const;

export function BrokerFields({ form, stored, readOnly }: Props) {
  const text = (field: keyof typeof LABELS) => ({ label: LABELS[field], readOnly, ...form.getInputProps(field) });
  const flag = (field: keyof typeof LABELS) => ({ label: LABELS[field], disabled: readOnly, ...form.getInputProps(field, { type: "checkbox" }) });
  const values = form.values;
  return (
    <Stack gap="lg">
      <Section title="Broker">
        <TextInput {...text("host")} description="Host name or IP address" placeholder="mqtt.example.com" required withAsterisk={false} />
        <NumberInput {...text("port")} description="Usually 1883, or 8883 with TLS" min={1} max={65_535} allowDecimal={false} hideControls />
        <TextInput {...text("username")} description="Empty: none is sent" autoComplete="off" />
        <SecretField
          label={LABELS.password}
          stored={stored?.password === "***"}
          removed={values.removePassword}
          onRemoved={(removed) => { form.setFieldValue("removePassword", removed); form.setFieldValue("password", ""); }}
          readOnly={readOnly}
          input={form.getInputProps("password")}
        />
        <Switch {...flag("use_tls")} description="Encrypts the connection" />
        <Switch {...flag("verify_cert")} description="Off: anybody can pretend to be the broker" disabled={readOnly || !values.use_tls} />
      </Section>
      <Section title="Session">
        <TextInput {...text("client_id")} description="Empty: each instance makes its own. With several instances, leave it empty" autoComplete="off" />
        <NumberInput {...text("keep_alive")} description="How soon a dead connection is noticed, 10 to 3600" min={10} max={3600} allowDecimal={false} hideControls />
        <Switch {...flag("clean_session")} description="Off: the broker keeps messages while an instance is away" />
      </Section>
      <Section title="Topics">
        <TextInput {...text("prefix")} description="Begins the topic of each subscription without one of its own" />
        <TextInput {...text("pattern")} description="Follows the prefix; {variables} are filled in" />
        <Switch {...flag("use_shared")} description="Each message goes to one instance of the group, not to all" />
        <TextInput {...text("shared_group")} description="Name of the group" readOnly={readOnly || !values.use_shared} />
        <Select
          {...text("qos")}
          description="Of every subscription"
          data={[{ value: "0", label: "0 · at most once" }, { value: "1", label: "1 · at least once" }, { value: "2", label: "2 · exactly once" }]}
          value={String(values.qos)}
          onChange={(value) => { form.setFieldValue("qos", Number(value ?? 1)); }}
          disabled={readOnly}
          allowDeselect={false}
        />
      </Section>
      <Advanced form={form} stored={stored} readOnly={readOnly} />
    </Stack>
  );
}

function Advanced({ form, stored, readOnly }: Props) {
  const faulty = ADVANCED.some((field) => form.errors[field] !== undefined);
  const [wanted, setWanted] = useState(false);
  const opened = wanted || faulty;
  const Chevron = opened ? IconChevronDown : IconChevronRight;
  const text = (field: keyof typeof LABELS) => ({ label: LABELS[field], readOnly, ...form.getInputProps(field) });
  const choice = (field: keyof typeof LABELS) => ({ label: LABELS[field], disabled: readOnly, allowDeselect: false, ...form.getInputProps(field) });
  const { use_tls, transport, protocol } = form.values;
  return (
    <div>
      <Button variant="subtle" px="xs" onClick={() => { setWanted(!opened); }} aria-expanded={opened} aria-controls="advanced-broker" leftSection={<Chevron size={16} aria-hidden />}>
        Advanced broker settings
      </Button>
      <Collapse expanded={opened} id="advanced-broker">
        <Section title="Protocol and certificates">
          <Select {...choice("protocol")} description="5 tells more when something is refused" data={["3.1.1", "5"]} />
          <NumberInput {...text("session_expiry_seconds")} description="How long the broker keeps a session that is not clean; MQTT 5 only" readOnly={readOnly || protocol !== "5"} min={0} hideControls allowDecimal={false} />
          <Select {...choice("transport")} description="How MQTT gets to the broker" data={[{ value: "tcp", label: "TCP" }, { value: "websockets", label: "WebSockets" }]} />
          <TextInput {...text("websocket_path")} description="For WebSockets only" readOnly={readOnly || transport !== "websockets"} />
          <Select {...choice("tls_min_version")} description="Older ones are refused" data={["1.2", "1.3"]} disabled={readOnly || !use_tls} />
          <Textarea {...text("ca_certificate")} description="PEM. Empty: those of the system" autosize minRows={2} maxRows={8} spellCheck={false} />
          <Textarea {...text("client_certificate")} description="PEM, for brokers that ask for one" autosize minRows={2} maxRows={8} spellCheck={false} />
          <SecretField
            label={LABELS.client_key}
            description="PEM, of the client certificate."
            multiline
            stored={stored?.client_key === "***"}
            removed={form.values.removeClientKey}
            onRemoved={(removed) => { form.setFieldValue("removeClientKey", removed); form.setFieldValue("client_key", ""); }}
            readOnly={readOnly}
            input={form.getInputProps("client_key")}
          />
        </Section>
      </Collapse>
    </div>
  );
}

function Section({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section className="surface" aria-label={title}>
      <Stack p="lg" gap="md">
        <Title order={2} size="h4">{title}</Title>
        <SimpleGrid cols={{ base: 1, sm: 2, xl: 3 }} spacing="lg" verticalSpacing="md">{children}</SimpleGrid>
      </Stack>
    </section>
  );
}
