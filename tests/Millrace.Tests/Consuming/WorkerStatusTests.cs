using Millrace.Consuming;
using Millrace.Hosting;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

public sealed class WorkerStatusTests
{
    private static readonly GroupPlan Plan = new() { Stream = "orders", Group = "billing", Consumer = "c", Options = new(), Routes = null! };

    private readonly ManualTimeProvider _time = new();
    private readonly WorkerStatus _status;

    public WorkerStatusTests() => _status = new(Plan, new(_time), _time);

    [Fact]
    public void Worker_that_ends_without_having_been_told_to_has_died()
    {
        _status.Answered();
        _status.Ended();

        Assert.Equal(WorkerState.Died, _status.Current.State);
    }

    [Fact]
    public void Worker_that_was_told_to_stop_is_stopping_whatever_happens_on_the_way_out()
    {
        _status.Stopping();
        _status.Failed(new InvalidOperationException());
        _status.Ended();

        Assert.Equal((WorkerState.Stopping, null), (_status.Current.State, _status.Current.Detail));
    }

    [Fact]
    public void Answer_between_two_failed_reads_is_no_recovery_and_a_read_is()
    {
        var first = _time.GetUtcNow();
        _status.Failed(new InvalidOperationException());
        _time.Advance(TimeSpan.FromMinutes(1));
        _status.Answered();
        Assert.Equal((WorkerState.Reading, first.AddMinutes(1), null), _status.Current);
        _status.Failed(new InvalidOperationException());
        Assert.Equal((WorkerState.Failing, first), (_status.Current.State, _status.Current.Since));

        _status.Answered();
        _status.Read();
        _time.Advance(TimeSpan.FromMinutes(1));
        _status.Failed(new InvalidOperationException());
        Assert.Equal((WorkerState.Failing, first.AddMinutes(2)), (_status.Current.State, _status.Current.Since));
    }
}
