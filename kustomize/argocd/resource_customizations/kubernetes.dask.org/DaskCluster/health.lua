-- Conditions say how a cluster is. A status without any was written by an operator that knows only the phase.
-- Only base functions of Lua are used: Argo CD opens no libraries for scripts that users configure.

-- Troubles that pass by themselves: until they have, the cluster is on its way.
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
if status == nil or (status.conditions == nil and status.phase == nil) then
  return health("Progressing", "Waiting for the operator")
end

if status.conditions == nil then
  if status.phase == "Running" then
    return health("Healthy", "Running")
  end
  if status.phase == "Error" then
    return health("Degraded", "Error")
  end
  return health("Progressing", status.phase)
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

if holds("Degraded") and not passing[found.Degraded.reason] then
  return health("Degraded", words(found.Degraded))
end
if holds("Suspended") then
  return health("Suspended", words(found.Suspended))
end
if holds("Degraded") then
  return health("Progressing", words(found.Degraded))
end
-- Workers that are one too many for a while are an autoscaler's daily work; those of an earlier spec are not what Git says.
if holds("Progressing") and found.Progressing.reason == "UpdatingWorkers" then
  return health("Progressing", words(found.Progressing))
end
if holds("Ready") then
  return health("Healthy", words(found.Ready))
end
return health("Progressing", found.Ready and words(found.Ready) or "Waiting for the operator")
