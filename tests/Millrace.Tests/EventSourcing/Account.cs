using Millrace.EventSourcing;

namespace Millrace.Tests.EventSourcing;

[Message("points.earned", Version = 2)]
public sealed record PointsEarned(int Amount, string For);

[Message("points.earned")]
public sealed record PointsEarnedV1(int Amount);

[Message("points.spent")]
public sealed record PointsSpent(int Amount);

[Message("points.unknown")]
public sealed record PointsUnknown;

public abstract record PointsCommand
{
    public sealed record Earn(int Amount) : PointsCommand;

    public sealed record Spend(int Amount) : PointsCommand;
}

public sealed record Points(int Balance, int Events)
{
    public static EventFold<Points> Fold { get; } = new(
        () => new(0, 0),
        static (points, one) => one switch
        {
            PointsEarned earned => new(points.Balance + earned.Amount, points.Events + 1),
            PointsSpent spent => new(points.Balance - spent.Amount, points.Events + 1),
            _ => points,
        });

    public static Decider<Points, PointsCommand> Decider { get; } = new(
        static (points, command) => command switch
        {
            PointsCommand.Earn { Amount: 0 } => [],
            PointsCommand.Earn earn => [new PointsEarned(earn.Amount, "test")],
            PointsCommand.Spend spend when spend.Amount > points.Balance => throw new InvalidOperationException($"only {points.Balance} left"),
            PointsCommand.Spend spend => [new PointsSpent(spend.Amount)],
            _ => throw new ArgumentOutOfRangeException(nameof(command)),
        },
        Fold);
}

public sealed record AccountSnapshot(int Balance);

public sealed class Account : AggregateRoot, ISnapshotted<AccountSnapshot>
{
    public int Balance { get; private set; }

    /// <summary>How many events were applied to this very object.</summary>
    public int Applied { get; private set; }

    public AccountSnapshot ToSnapshot() => new(Balance);

    public void Restore(AccountSnapshot snapshot) => Balance = snapshot.Balance;

    public void Earn(int amount) => Raise(new PointsEarned(amount, "test"));

    public void Spend(int amount)
    {
        if (amount > Balance)
            throw new InvalidOperationException($"only {Balance} left");
        Raise(new PointsSpent(amount));
    }

    protected override void Apply(object one)
    {
        Applied++;
        Balance += one switch
        {
            PointsEarned earned => earned.Amount,
            PointsSpent spent => -spent.Amount,
            _ => 0,
        };
    }
}
