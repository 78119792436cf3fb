/**
 * Runs a Worker on this machine: wrangler bundles it, `workerd` serves it. Not `wrangler dev`: its proxies cost most of a
 * request's time, double the file descriptors of every socket, and outlive a parent that was killed.
 */
export { type Bundle, bundle, type Module, type Variable, wrangler } from "./runtime/bundle.ts";
export { type LaunchOptions, launch, type Runtime } from "./runtime/launch.ts";
