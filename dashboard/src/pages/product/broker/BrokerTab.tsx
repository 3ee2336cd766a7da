/** Broker and topic settings: edit, test, see what it will do, save, go on watching. */

import { Alert, Button, Fieldset, Group, List, NumberInput, PasswordInput, Select, SimpleGrid, Skeleton, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ifMatch, need } from "~/api/client";
import { ApiError, fieldErrors } from "~/api/problem";
import { configQuery, keys } from "~/api/queries";
import type { ConfigAnswer, ConfigWritten, TestResult } from "~/api/types";
import { Failure } from "~/components/Failure";
import { UnsavedGuard } from "~/components/UnsavedGuard";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { effectWords } from "../rollout";
import { bodyOf, FIELDS, formOf, RULES, type BrokerForm } from "./form";

export function BrokerTab() {
  const productId = useProductId();
  const config = useQuery(configQuery(productId)).data;
  if (!config) return <Skeleton h={320} aria-label="Loading" />;
  return <Settings key={productId} productId={productId} config={config} />;
}

function Settings({ productId, config }: { productId: number; config: ConfigAnswer }) {
  const client = useQueryClient();
  const mayWrite = useMay("operator");
  // What the form started from: a write is for this revision alone.
  const [base, setBase] = useState(config);
  const form = useForm<BrokerForm>({ initialValues: formOf(config.mqtt_config), validate: RULES });
  const params = { path: { product_id: productId } };
  const start = (from: ConfigAnswer): void => {
    setBase(from);
    const values = formOf(from.mqtt_config);
    form.setInitialValues(values);
    form.setValues(values);
    form.clearErrors();
    save.reset();
    preview.reset();
  };
  const put = (dry_run: boolean, revision: number | null | undefined): Promise<ConfigWritten> =>
    need(api.PUT("/api/v1/products/{product_id}/mqtt-config", {
      params: { ...params, query: { dry_run }, header: ifMatch(revision) },
      body: bodyOf(form.values),
    }));
  const refused = (error: unknown): void => { form.setErrors(fieldErrors(error, FIELDS)); };
  const test = useMutation({
    mutationFn: (): Promise<TestResult> =>
      need(api.POST("/api/v1/products/{product_id}/mqtt-config/test", { params, body: bodyOf(form.values) })),
    onError: refused,
  });
  const preview = useMutation({ mutationFn: () => put(true, base.revision), onError: refused });
  const save = useMutation({
    mutationFn: (revision: number | null | undefined) => put(false, revision),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.product(productId) });
      await client.invalidateQueries({ queryKey: keys.fleet });
      const fresh = client.getQueryData(configQuery(productId).queryKey);
      if (fresh) start(fresh);
    },
    onError: refused,
  });
  const dirty = form.isDirty();
  const conflict = [save.error, preview.error].find((error) => error instanceof ApiError && error.status === 412);
  const failure = save.error ?? preview.error ?? test.error;
  const moved = config.revision !== base.revision;
  const broker = base.mqtt_config?.broker;
  return (
    <form
      onSubmit={form.onSubmit(() => {
        if (preview.data) save.mutate(base.revision);
        else preview.mutate();
      })}
      // A preview and a test are of the values they were made for.
      onChange={() => { preview.reset(); test.reset(); save.reset(); }}
    >
      <UnsavedGuard dirty={dirty && mayWrite} />
      <Stack gap="md">
        {moved && !dirty ? <Alert color="blue" title={`Revision ${config.revision} is there now`}><Button size="compact-sm" variant="default" onClick={() => { start(config); }}>Show it</Button></Alert> : null}
        {conflict || (moved && dirty) ? (
          <Alert color="yellow" title="Somebody else has changed the configuration" role="alert">
            <Text size="sm">Your changes were made from revision {base.revision}; it is at {config.revision} now, with {theirs(config)}.</Text>
            <Group mt="sm">
              <Button size="compact-sm" variant="default" onClick={() => { start(config); }}>Take theirs, drop mine</Button>
              <Button size="compact-sm" variant="default" onClick={() => { setBase(config); save.reset(); preview.reset(); }}>Keep mine, on top of theirs</Button>
            </Group>
          </Alert>
        ) : null}
        {failure && !conflict ? <Failure error={failure} title="Not accepted" /> : null}
        {form.errors[""] ? <Alert color="red" title="Not accepted">{form.errors[""]}</Alert> : null}
        <fieldset disabled={!mayWrite} style={{ border: 0, padding: 0, margin: 0 }}>
          <Stack gap="md">
            <Fieldset legend="Broker">
              <SimpleGrid cols={{ base: 1, sm: 2 }}>
                <TextInput label="Host" required placeholder="broker.example.com" {...form.getInputProps("broker.host")} />
                <NumberInput label="Port" required min={1} max={65535} {...form.getInputProps("broker.port")} />
                <TextInput label="User name" autoComplete="off" {...form.getInputProps("broker.username")} />
                <PasswordInput
                  label="Password"
                  autoComplete="new-password"
                  description={broker?.password ? "One is stored. Leave this empty to keep it." : "None is stored."}
                  {...form.getInputProps("broker.password")}
                />
                <TextInput label="Client id" description="Empty: each instance has its own." {...form.getInputProps("broker.client_id")} />
                <NumberInput label="Keep-alive, seconds" min={10} max={3600} {...form.getInputProps("broker.keep_alive")} />
                <Switch label="TLS" {...form.getInputProps("broker.use_tls", { type: "checkbox" })} />
                <Switch label="Verify the certificate" {...form.getInputProps("broker.verify_cert", { type: "checkbox" })} />
                <Switch
                  label="Clean session"
                  description="On: what is published while an instance is not connected is lost to it."
                  {...form.getInputProps("broker.clean_session", { type: "checkbox" })}
                />
              </SimpleGrid>
            </Fieldset>
            <Fieldset legend="Topics">
              <SimpleGrid cols={{ base: 1, sm: 2 }}>
                <TextInput label="Prefix" required {...form.getInputProps("topics.prefix")} />
                <TextInput label="Pattern" required {...form.getInputProps("topics.pattern")} />
                <Switch label="Shared subscriptions" description="Each message goes to one instance." {...form.getInputProps("topics.use_shared", { type: "checkbox" })} />
                <TextInput label="Shared group" {...form.getInputProps("topics.shared_group")} />
                <Select label="QoS" allowDeselect={false} data={["0", "1", "2"]} {...form.getInputProps("topics.qos")} />
              </SimpleGrid>
            </Fieldset>
          </Stack>
        </fieldset>
        <div aria-live="polite">
          {test.data ? <Tested result={test.data} /> : null}
          {preview.data && !save.isSuccess ? <Preview change={preview.data} /> : null}
        </div>
        {mayWrite ? (
          <Group>
            <Button variant="default" loading={test.isPending} onClick={() => { if (!form.validate().hasErrors) test.mutate(); }}>Test connection</Button>
            <Button type="submit" disabled={!dirty || conflict !== undefined} loading={preview.isPending || save.isPending}>
              {preview.data ? "Save" : "Preview the effect"}
            </Button>
            {dirty ? <Button variant="subtle" onClick={() => { start(config); }}>Discard changes</Button> : null}
          </Group>
        ) : <Text size="sm" c="dimmed">Your role may look, not change.</Text>}
      </Stack>
    </form>
  );
}

function theirs(config: ConfigAnswer): string {
  const broker = config.mqtt_config?.broker;
  return broker ? `the broker ${broker.host}:${broker.port}` : "no broker";
}

function Tested({ result }: { result: TestResult }) {
  if (!result.connected) return <Alert color="red" title={result.error ?? "Not connected"}>{result.details}</Alert>;
  return <Alert color="green" title={`Connected in ${Math.round(result.latency_ms ?? 0)} ms`}>{result.details}</Alert>;
}

function Preview({ change }: { change: ConfigWritten }) {
  return (
    <Alert color="blue" title="What saving will do">
      {change.effect ? <Text size="sm">{effectWords(change.effect)}</Text> : null}
      {change.warnings?.length ? (
        <List size="sm" mt="xs">{change.warnings.map((each) => <List.Item key={each.type + each.msg}>{each.msg}</List.Item>)}</List>
      ) : null}
    </Alert>
  );
}
