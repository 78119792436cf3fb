/** One request to the service. */
import type { ErrorBody } from "../../schemas/problem.ts";
import type { Request } from "../shown/orders.ts";

/** `status` 0: there was no answer. */
export type Answer = { ok: true; value: unknown } | { ok: false; status: number; message: string };
export type Fetch = typeof fetch;

/** A coordinator that restarts with a long queue takes some seconds. */
const PATIENCE_MS = 30_000;

export async function ask(key: string, { body, method, path }: Request, fetcher: Fetch = fetch): Promise<Answer> {
  const init: RequestInit = { method, headers: headersOf(key), signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" };
  if (body !== undefined) init.body = JSON.stringify(body);
  try {
    const response = await fetcher(path, init);
    if (!response.ok) return await refusal(response);
    return { ok: true, value: await response.json() };
  } catch (error) {
    const late = error instanceof Error && error.name === "TimeoutError";
    const message = late
      ? `No answer came within ${PATIENCE_MS / 1_000} seconds. The request may still have taken effect.`
      : "The service cannot be reached. If the request arrived, it took effect all the same.";
    return { ok: false, status: 0, message };
  }
}

export async function refusal(response: Response): Promise<{ ok: false; status: number; message: string }> {
  const { status } = response;
  // A proxy's error page has no such shape.
  const told = (await response.json().catch(() => null)) as Partial<ErrorBody> | null;
  return { ok: false, status, message: told?.error?.message ?? `The service answered ${status}.` };
}

/** The key goes into a header, so it must not contain what no header can hold. */
export function headersOf(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}`, "content-type": "application/json" };
}
