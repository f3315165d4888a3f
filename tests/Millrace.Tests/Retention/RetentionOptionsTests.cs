using Microsoft.Extensions.DependencyInjection;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Retention;

public sealed class RetentionOptionsTests
{
    [Fact]
    public async Task Policy_is_bound_from_configuration_over_code()
    {
        await using var host = await StartAsync(
            ("MaxAge", "30.00:00:00"), ("MaxBytes", "1000000"), ("KeepUnsettled", "false"), ("AbandonedAfter", "1.00:00:00"),
            ("AbandonedGroups", "ignore"), ("DeadLetters:MaxAge", "100.00:00:00"), ("DeadLetters:MaxCount", "9"));

        var policy = Assert.Single(host.Host.Services.GetRequiredService<Millrace.Retention>().Policies).Value;

        Assert.Equal((TimeSpan.FromDays(30), 7L, 1_000_000L), (policy.MaxAge!.Value, policy.MaxCount!.Value, policy.MaxBytes!.Value));
        Assert.Equal((false, TimeSpan.FromDays(1), AbandonedGroupPolicy.Ignore), (policy.KeepUnsettled, policy.AbandonedAfter, policy.AbandonedGroups));
        Assert.Equal(new DeadLetterRetention { MaxAge = TimeSpan.FromDays(100), MaxCount = 9, AuditMaxAge = TimeSpan.FromDays(1) }, policy.DeadLetters);
    }

    [Fact]
    public async Task Every_mistake_is_told_with_its_path()
    {
        var errors = (await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync(
            ("MaxAge", "soon"), ("MaxCount", "-1"), ("MaxBytes", "1 GB"), ("KeepUnsettled", "perhaps"), ("AbandonedAfter", "00:00:01"),
            ("AbandonedGroups", "Shoot"), ("DeadLetters:MaxAgee", "1"), ("MaxLength", "1")))).Errors;

        foreach (var option in new[]
        {
            "MaxAge:", "MaxCount:", "MaxBytes:", "KeepUnsettled:", "AbandonedAfter:", "AbandonedGroups:", "DeadLetters:MaxAgee:", "MaxLength:",
        })
            Assert.Single(errors, error => error.StartsWith($"Millrace:Retention:orders:{option}", StringComparison.Ordinal));
    }

    private static Task<ConsumerHost> StartAsync(params (string Option, string Value)[] options) => ConsumerHost.StartAsync(
        millrace => millrace.AddRetention("orders", retention =>
        {
            retention.MaxCount = 7;
            retention.DeadLetters = new() { AuditMaxAge = TimeSpan.FromDays(1) };
        }),
        configuration: options.ToDictionary(option => $"Millrace:Retention:orders:{option.Option}", string? (option) => option.Value));
}
