import { Link, Outlet } from "@tanstack/react-router";

import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import classes from "./AdvancedTab.module.css";

const SECTIONS = [
  { to: "/products/$productId/advanced/instances", name: "Instances" },
  { to: "/products/$productId/advanced/history", name: "History" },
  { to: "/products/$productId/advanced/transfer", name: "Export and import" },
  { to: "/products/$productId/advanced/variables", name: "Name and variables" },
  { to: "/products/$productId/advanced/secrets", name: "Secrets" },
  { to: "/products/$productId/advanced/key", name: "Product key" },
] as const;
const DANGER = { to: "/products/$productId/advanced/danger", name: "Danger zone" } as const;

/** What is needed less often, each at an address of its own. */
export function AdvancedTab() {
  const productId = useProductId();
  const sections = useMay("operator") ? [...SECTIONS, DANGER] : SECTIONS;
  return (
    <>
      <nav aria-label="Advanced" className={classes.sections}>
        {sections.map(({ to, name }) => (
          <Link key={to} to={to} params={{ productId }} className={classes.section} activeProps={{ className: classes.active }}>{name}</Link>
        ))}
      </nav>
      <Outlet />
    </>
  );
}
