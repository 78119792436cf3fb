/**
 * Runs a Worker on this machine: wrangler bundles it, `workerd` serves it. `wrangler dev` was rejected: its proxies take most of a request's time, double the
 * file descriptors of every socket, and outlive a killed parent.
 */
export { type Bundle, bundle, type Module, type Variable, wrangler } from "./runtime/bundle.ts";
export { type LaunchOptions, launch, type Runtime } from "./runtime/launch.ts";
