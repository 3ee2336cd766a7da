import { Alert, Button, Center, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";

import { ApiError, words } from "~/api/problem";

import { useSignIn } from "./session";

/** Stands at every address until someone has signed in, so that a deep link leads there afterwards. */
export function SignInPage() {
  const [token, setToken] = useState("");
  const signIn = useSignIn();
  const refused = signIn.error instanceof ApiError && signIn.error.status === 401;
  return (
    <Center component="main" mih="100%" p="md">
      <form
        className="surface"
        onSubmit={(event) => {
          event.preventDefault();
          // Gone from the page as soon as it was used.
          if (token.trim()) signIn.mutate(token.trim(), { onSettled: () => { setToken(""); } });
        }}
      >
        <Stack p="xl" w="min(26rem, 92vw)">
          <Title order={1} size="h2">MQTT control plane</Title>
          <PasswordInput
            label="Token"
            description="An administrator gives you one. It is used once to sign in and is not kept in the browser."
            value={token}
            onChange={(event) => { setToken(event.currentTarget.value); }}
            error={refused ? "This token is unknown or has expired." : undefined}
            autoComplete="off"
            autoFocus
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": "Show the token", tabIndex: 0 }}
          />
          {signIn.error && !refused ? <Alert color="red" title="Not signed in">{words(signIn.error)}</Alert> : null}
          <Button type="submit" loading={signIn.isPending}>Sign in</Button>
          <Text size="sm" c="dimmed">Running this on your own machine? The command that started it printed a token.</Text>
        </Stack>
      </form>
    </Center>
  );
}
