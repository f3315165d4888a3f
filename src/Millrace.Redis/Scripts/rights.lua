-- Put in front of the shorter scripts. A command that fails for a missing right says ERR inside a script, like any other mistake, and
-- may come after others that succeeded; asked beforehand, it is a NOPERM and nothing has changed.
local function denied(key, ...)
  for _, command in ipairs({...}) do
    if not redis.acl_check_cmd(command, key) then
      return redis.error_reply('NOPERM The user may not run ' .. command .. ' on the key ' .. key)
    end
  end
end

