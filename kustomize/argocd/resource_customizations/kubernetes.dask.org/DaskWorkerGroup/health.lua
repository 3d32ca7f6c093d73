-- Conditions say how a group is. An operator that writes no status leaves only its mark on what it has seen.
-- Only base functions of Lua are used: Argo CD opens no libraries for scripts that users configure.

-- Troubles that pass by themselves: until they have, the group is on its way.
local passing = {
  Unschedulable = true,
  NoAnswer = true,
  InternalError = true,
  TooManyRequests = true,
  Timeout = true,
}

local function health(status, message)
  return { status = status, message = message }
end

local function words(condition)
  if condition.message == nil or condition.message == "" then
    return condition.reason or condition.type
  end
  return (condition.reason or condition.type) .. ": " .. condition.message
end

local status = obj.status
if status == nil or status.conditions == nil then
  local annotations = obj.metadata.annotations or {}
  if annotations["kopf.zalando.org/last-handled-configuration"] ~= nil then
    return health("Healthy", "Seen by an operator that reports no status")
  end
  return health("Progressing", "Waiting for the operator")
end

if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for the operator to see the latest change")
end

local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end

local function holds(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

local ready = found.WorkersReady
if holds("Degraded") and not passing[found.Degraded.reason] then
  return health("Degraded", words(found.Degraded))
end
if ready ~= nil and ready.reason == "Suspended" then
  return health("Suspended", words(ready))
end
if holds("Degraded") then
  return health("Progressing", words(found.Degraded))
end
-- Workers that are one too many for a while are an autoscaler's daily work; those of an earlier spec are not what Git says.
if holds("Progressing") and found.Progressing.reason == "UpdatingWorkers" then
  return health("Progressing", words(found.Progressing))
end
if holds("WorkersReady") then
  return health("Healthy", words(ready))
end
return health("Progressing", ready and words(ready) or "Waiting for the operator")
