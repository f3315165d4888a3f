using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Monitoring;

namespace Millrace.Consuming;

/// <summary>What becomes of entries that no handler can get, as <see cref="ConsumerOptions.Undecodable"/> says.</summary>
internal sealed class UndecodableEntries(GroupPlan plan, ReadGate gate, MessageMeter meter, ILogger logger)
{
    public SettleAction Decide(Delivery delivery, SettleAction.DeadLetter verdict)
    {
        switch (plan.Options.Undecodable)
        {
            case UndecodablePolicy.Ignore:
                LogMessages.UndecodableIgnored(logger, verdict.Error, plan.Stream, plan.Group, delivery.Id, verdict.Reason);
                meter.Ignored(plan, verdict.Reason);
                return SettleAction.Ack.Instance;

            case UndecodablePolicy.Stop:
                // Held on with its lease, so that nobody takes it over and counts a death that was none.
                delivery.Cancel(CancelCause.Halted);
                if (gate.Close(WorkerState.Halted, $"entry {delivery.Id} of {delivery.Stream}: {verdict.Reason}"))
                    LogMessages.GroupHalted(logger, verdict.Error, plan.Stream, plan.Group, delivery.Id, verdict.Reason);
                return SettleAction.Abandon.Instance;

            default:
                return verdict;
        }
    }
}
