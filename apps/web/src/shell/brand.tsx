import { Link } from '@tanstack/react-router';

/** Three rungs and the name. */
export function Brand({ label }: { label: string }) {
  return (
    <Link to="/" className="aw-brand">
      <span className="aw-brand-mark" aria-hidden>
        <i />
        <i />
        <i />
      </span>
      {label}
    </Link>
  );
}
