/** What went wrong, from the service's problem+json (RFC 9457). */

import type { Problem } from "./types";

/** One thing wrong with one field. */
export interface Fault {
  loc: (string | number)[];
  msg: string;
}

export class ApiError extends Error {
  override readonly name = "ApiError";
  /** 0: nobody answered. */
  readonly status: number;
  readonly faults: readonly Fault[];
  /** After 412: what the configuration is at now. */
  readonly currentRevision: number | undefined;

  constructor(status: number, message: string, faults: readonly Fault[] = [], currentRevision?: number) {
    super(message);
    this.status = status;
    this.faults = faults;
    this.currentRevision = currentRevision;
  }

  static of(body: unknown, response: Response): ApiError {
    if (!isProblem(body)) return new ApiError(response.status, `The service answered ${response.status}.`);
    const id = body.request_id ? ` (request ${body.request_id})` : "";
    return new ApiError(body.status, `${body.detail}${id}`, body.errors ?? [], body.current_revision);
  }
}

export function unreachable(cause: unknown): ApiError {
  const error = new ApiError(0, "The service cannot be reached. Check that it runs and that you are connected.");
  error.cause = cause;
  return error;
}

/** A sentence for a person, whatever was thrown. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Where in a document something stands; positions in lists are counted from one. */
export function placeWords(loc: readonly (string | number)[]): string {
  return loc.map((each) => (typeof each === "number" ? each + 1 : each)).join(" › ");
}

/**
 * Errors by field: `{"broker.port": "..."}`. `under` is taken off the front of each path, `body` always.
 * A fault of no field in `known` stands under "", to be shown above the form.
 */
export function fieldErrors(error: unknown, known?: readonly string[], under: readonly string[] = []): Record<string, string> {
  const found: Record<string, string> = {};
  for (const fault of error instanceof ApiError ? error.faults : []) {
    const path = fault.loc.map(String);
    if (path[0] === "body") path.shift();
    if (under.every((part, index) => path[index] === part)) path.splice(0, under.length);
    const name = path.join(".");
    const field = !known || known.includes(name) ? name : "";
    const text = field ? fault.msg : `${name}: ${fault.msg}`;
    found[field] = found[field] ? `${found[field]}; ${text}` : text;
  }
  return found;
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "detail" in body && "status" in body;
}
