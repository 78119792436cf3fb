/** An upstream in a process of its own, so that other upstreams' load does not make its calls arrive late. */
import { openStub } from "../stub/server.ts";
import { BURST_SECONDS, LIMITS } from "./backlog.ts";

process.once("disconnect", () => process.exit());
const { url } = await openStub(LIMITS, 0, BURST_SECONDS);
process.send?.(url);
