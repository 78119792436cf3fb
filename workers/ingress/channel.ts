import { CHANNEL_LIMIT, RESERVED_CHANNEL_PREFIX } from "../../schemas/channel.ts";

/** Whether a client may name this channel. An object is made for whatever is asked for, so other names are turned away at the door. */
export function canBeNamed(channel: string): boolean {
  return channel !== "" && channel.length <= CHANNEL_LIMIT && !channel.startsWith(RESERVED_CHANNEL_PREFIX);
}
