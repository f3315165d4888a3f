using Millrace.EventSourcing;

namespace Millrace.Tests.EventSourcing;

public sealed class ScenarioTests
{
    private static Scenario<Points, PointsCommand> Rich => Scenario.Of(Points.Decider).Given(new PointsEarned(10, "visit"), new PointsSpent(2));

    private static AggregateScenario<Account> Owner => Scenario.For<Account>().Given(new PointsEarned(10, "visit"), new PointsSpent(2));

    [Fact]
    public void Scenario_passes_when_exactly_these_events_follow() =>
        Rich.When(new PointsCommand.Spend(8)).Then(new PointsSpent(8)).ThenState(points => points.Balance == 0);

    [Fact]
    public void Scenario_passes_when_nothing_follows() => Rich.When(new PointsCommand.Earn(0)).Then();

    [Fact]
    public void Scenario_passes_when_the_command_is_refused_as_said() =>
        Assert.Equal("only 8 left", Rich.When(new PointsCommand.Spend(9)).ThenRefused<InvalidOperationException>().Message);

    [Fact]
    public void Scenario_goes_on_after_a_command() =>
        Rich.When(new PointsCommand.Spend(9)).When(new PointsCommand.Spend(8)).When(new PointsCommand.Earn(1)).Then(new PointsEarned(1, "test"))
            .ThenState(points => points.Balance == 1);

    [Fact]
    public void Scenario_of_an_aggregate_passes_when_exactly_what_it_says_happens()
    {
        Owner.When(account => account.Spend(8)).Then(new PointsSpent(8)).ThenState(account => account.Balance == 0)
            .When(account => account.Earn(1)).Then(new PointsEarned(1, "test")).ThenState(account => account.Balance == 1);
        Owner.When(_ => { }).Then().ThenState(account => account.Balance == 8);
        Assert.Equal("only 8 left", Owner.When(account => account.Spend(9)).ThenRefused<InvalidOperationException>().Message);
    }

    [Fact]
    public void Aggregate_of_a_scenario_has_the_ID_that_the_scenario_says()
    {
        Scenario.For<Account>("a-17").Given(new PointsEarned(8, "test")).When(account => Assert.Equal("a-17", account.Id)).Then()
            .ThenState(account => account.Id == "a-17");
        Scenario.For<Account>().When(account => Assert.NotEmpty(account.Id)).Then();
        Assert.Throws<ArgumentException>(() => Scenario.For<Account>(""));
    }

    [Fact]
    public void Scenario_of_an_aggregate_fails_when_something_else_happens()
    {
        Assert.Throws<ScenarioException>(() => Owner.When(account => account.Spend(8)).Then(new PointsSpent(7)));
        Assert.Throws<ScenarioException>(() => Owner.When(account => account.Spend(8)).Then());
        Assert.Throws<ScenarioException>(() => Owner.When(account => account.Spend(9)).Then(new PointsSpent(9)));
        Assert.Throws<ScenarioException>(() => Owner.When(account => account.Spend(8)).ThenRefused<InvalidOperationException>());
        Assert.Throws<ScenarioException>(() => Owner.When(account => account.Spend(9)).ThenRefused<ArgumentException>());
        Assert.Throws<ScenarioException>(() => Owner.When(account => account.Spend(8)).ThenState(account => account.Balance == 1));
        Assert.Throws<InvalidOperationException>(() => Owner.Then());
    }

    [Fact]
    public void Scenario_fails_when_something_else_happens()
    {
        Assert.Throws<ScenarioException>(() => Rich.When(new PointsCommand.Spend(8)).Then(new PointsSpent(7)));
        Assert.Throws<ScenarioException>(() => Rich.When(new PointsCommand.Spend(8)).Then());
        Assert.Throws<ScenarioException>(() => Rich.When(new PointsCommand.Spend(9)).Then(new PointsSpent(9)));
        Assert.Throws<ScenarioException>(() => Rich.When(new PointsCommand.Spend(8)).ThenRefused<InvalidOperationException>());
        Assert.Throws<ScenarioException>(() => Rich.When(new PointsCommand.Spend(9)).ThenRefused<ArgumentException>());
        Assert.Throws<ScenarioException>(() => Rich.When(new PointsCommand.Spend(8)).ThenState(points => points.Balance == 1));
        Assert.Throws<InvalidOperationException>(() => Rich.Then());
        Assert.Throws<InvalidOperationException>(() => Rich.ThenRefused<InvalidOperationException>());
    }
}
