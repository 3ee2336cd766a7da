import { Alert, Button, Group, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet } from "@tanstack/react-router";

import { sessionQuery } from "~/api/queries";
import { words } from "~/api/problem";
import { LinkAnchor } from "~/components/links";
import { LiveProvider } from "~/live/LiveProvider";
import { SignInPage } from "~/session/SignInPage";
import { useMayTokens, useSignOut } from "~/session/session";

import { StaleBanner } from "./StaleBanner";
import { ThemeSwitch } from "./ThemeSwitch";
import classes from "./Shell.module.css";

export function Shell() {
  const session = useQuery(sessionQuery);
  const signOut = useSignOut();
  const mayTokens = useMayTokens();
  if (session.isPending) return <Skeleton m="md" h={40} aria-label="Loading" />;
  if (session.data === undefined) {
    return (
      <Alert m="md" color="red" title="The service does not answer">
        <Text>{words(session.error)}</Text>
        <Button mt="sm" onClick={() => void session.refetch()} loading={session.isFetching}>Try again</Button>
      </Alert>
    );
  }
  if (session.data === null) return <SignInPage />;
  return (
    <LiveProvider>
      <a className="skip" href="#main">Skip to the content</a>
      <header className={classes.header}>
        <Link to="/" className={classes.brand}>
          <img src="/icon.svg" alt="" width={24} height={24} />
          <span>MQTT control plane</span>
        </Link>
        <Group gap="xs" wrap="nowrap">
          {mayTokens ? <LinkAnchor to="/tokens" size="sm" c="inherit">Tokens</LinkAnchor> : null}
          <Text size="sm" className={classes.who} title={`${session.data.name}, ${session.data.role}`}>
            {session.data.name === session.data.role ? session.data.name : `${session.data.name} · ${session.data.role}`}
          </Text>
          <ThemeSwitch />
          <Button variant="default" size="compact-sm" h={30} onClick={() => { signOut.mutate(); }} loading={signOut.isPending}>
            Sign out
          </Button>
        </Group>
      </header>
      <StaleBanner />
      <main id="main" tabIndex={-1} className={classes.main}>
        <Outlet />
      </main>
    </LiveProvider>
  );
}
