/** A small line of figures, oldest first. Decoration: what it tells stands beside it in words. */
export function Sparkline({ values, width = 96, height = 22 }: { values: readonly number[]; width?: number; height?: number }) {
  const most = Math.max(1, ...values);
  const step = width / Math.max(1, values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(height - 1 - (value / most) * (height - 3)).toFixed(1)}`);
  return (
    <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden focusable="false">
      <polyline points={points.join(" ")} fill="none" stroke="var(--mantine-color-anchor)" strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  );
}
