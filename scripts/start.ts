/** `npm start`: the whole service on this machine. */
import { join, resolve } from "node:path";
import { banner } from "./banner.ts";
import { gather, plan, readDevVars } from "./environment.ts";
import { bundle, launch } from "./runtime.ts";
import { fail, serve } from "./serve.ts";

const root = join(import.meta.dirname, "..");

try {
  const built = await bundle(join(root, "wrangler.toml"));
  const values = gather(process.env, readDevVars(join(root, ".dev.vars")), built.vars);
  const plans = plan(values, Object.keys(built.vars));
  const { port, host, vars } = plans;
  const state = resolve(root, plans.state);
  const runtime = await launch({ bundle: built, port, host, front: true, state, vars, inherit: true });
  console.log(banner(runtime.url, plans));
  serve(runtime);
} catch (error) {
  fail(error);
}
