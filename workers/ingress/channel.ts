import { CHANNEL_LIMIT, RESERVED_CHANNEL_PREFIX } from "../../schemas/channel.ts";

/** Whether a client may name this channel. An object is created for any name asked for, so invalid names are turned away at the door. */
export function canBeNamed(channel: string): boolean {
  return channel !== "" && channel.length <= CHANNEL_LIMIT && !channel.startsWith(RESERVED_CHANNEL_PREFIX);
}

export const BAD_CHANNEL = `channel must have 1 to ${CHANNEL_LIMIT} characters and must not begin with "${RESERVED_CHANNEL_PREFIX}".`;
