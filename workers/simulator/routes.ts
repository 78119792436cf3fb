import { type IRequest, Router } from "itty-router";
import { describeModel, findModel, listModels, unknownModel } from "./catalog.ts";
import { chatCompletions } from "./chat.ts";
import { invalidRequest, openAiError, refuseKey } from "./errors.ts";
import { Ledger } from "./ledger.ts";
import { commonHeaders, respondJson, respondProblem } from "./respond.ts";
import { parseControl } from "./settings.ts";
import { advance, applyControl, type World } from "./world.ts";

/** No `catch` on this router: a handler that throws stands for a broken connection, and must reach the caller as one. */
export function routesFor(world: World): { fetch(request: Request): Promise<Response> } {
  const router = Router<Request & IRequest, []>()
    .post("/v1/chat/completions", (request) => chatCompletions(request, world))
    .get("/v1/models", (request) => models(request, world))
    .get("/v1/models/:id", (request) => models(request, world))
    .post("/control", (request) => control(request, world))
    .get("/stats", (request) => {
      advance(world, Date.now());
      return respondJson(world.ledger.report(request.query.keys === "repeated" ? "repeated" : "all"), {});
    })
    .post("/stats/reset", () => {
      world.ledger = new Ledger();
      return respondJson({ ok: true }, {});
    })
    .all("*", (request) => {
      const message = `Invalid URL (${request.method} ${new URL(request.url).pathname})`;
      return respondProblem(openAiError(404, message, "invalid_request_error", null), commonHeaders(world, Date.now()));
    });
  return router;
}

function models(request: IRequest, world: World): Response {
  const headers = commonHeaders(world, Date.now());
  const refused = refuseKey(request.headers.get("authorization"));
  if (refused !== undefined) return respondProblem(refused, headers);
  const id = request.params.id;
  if (id === undefined) return respondJson(listModels(), headers);
  const card = findModel(id);
  return card === undefined ? respondProblem(unknownModel(id), headers) : respondJson(describeModel(id, card), headers);
}

async function control(request: Request, world: World): Promise<Response> {
  const parsed = parseControl(await request.json().catch(() => undefined));
  if (!parsed.ok) return respondProblem(invalidRequest(parsed.message, null, null), {});
  applyControl(world, parsed.control, Date.now());
  return respondJson({ ok: true, settings: world.settings }, {});
}
