/** An error answer in OpenAI's shape, in the words of OpenAI's API (seen in public issue threads). */
export interface Problem {
  status: number;
  error: { message: string; type: string; param: string | null; code: string | null };
  /** Set if the answer says how long to wait. */
  retryAfterMs?: number;
  /** Set if the answer says whether another try could help. */
  shouldRetry?: boolean;
}

export function openAiError(status: number, message: string, type: string, code: string | null, param: string | null = null): Problem {
  return { status, error: { message, type, param, code } };
}

export function invalidRequest(message: string, param: string | null, code: string | null): Problem {
  return openAiError(400, message, "invalid_request_error", code, param);
}

export function serverError(): Problem {
  return openAiError(500, "The server had an error while processing your request. Sorry about that!", "server_error", null);
}

/** 401 for a missing, malformed or refused key; undefined if the key is accepted. */
export function refuseKey(authorization: string | null): Problem | undefined {
  const key = /^Bearer\s+(\S+)$/i.exec(authorization ?? "")?.[1];
  if (key === undefined) {
    const message =
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
    return openAiError(401, message, "invalid_request_error", "invalid_api_key");
  }
  return key === "sk-invalid" ? incorrectKey(key) : undefined;
}

export function incorrectKey(key: string): Problem {
  const message = `Incorrect API key provided: ${key}. You can find your API key at https://platform.openai.com/account/api-keys.`;
  return openAiError(401, message, "invalid_request_error", "invalid_api_key");
}
