import { Link, Outlet } from "@tanstack/react-router";

import { useProductId } from "../ProductLayout";
import classes from "./AdvancedTab.module.css";

const SECTIONS = [
  { to: "/products/$productId/advanced/instances", name: "Instances" },
  { to: "/products/$productId/advanced/history", name: "History" },
] as const;

/** What is needed less often, each at an address of its own. */
export function AdvancedTab() {
  const productId = useProductId();
  return (
    <>
      <nav aria-label="Advanced" className={classes.sections}>
        {SECTIONS.map(({ to, name }) => (
          <Link key={to} to={to} params={{ productId }} className={classes.section} activeProps={{ className: classes.active }}>{name}</Link>
        ))}
      </nav>
      <Outlet />
    </>
  );
}
