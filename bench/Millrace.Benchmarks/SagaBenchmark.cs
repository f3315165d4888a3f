using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Sagas;

namespace Millrace.Benchmarks;

/// <summary>
/// Saga steps a second: each checkout is a message that starts it and three answers, sends three commands and an event, and sets a time-out. The
/// services are consumers that answer, so the store carries twice as many messages.
/// </summary>
internal static class SagaBenchmark
{
    private const int Sagas = 5_000;
    private const int WarmUp = 1_000;
    private const int StepsEach = 4;
    private const int Concurrency = 64;

    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    public static async Task RunAsync()
    {
        Console.WriteLine(
            $"## Sagas: {Sagas:N0} checkouts of {StepsEach} steps from start to end, with services that answer; journal and append-only file every second");
        Console.WriteLine();
        Report.Row("store", "saga steps / s", "checkouts / s");
        Report.Row("---", "---:", "---:");
        for (var i = 0; i < Pairs.Count; i++)
        {
            using (var directory = new DiskDirectory())
                await MeasureAsync("embedded", millrace => millrace.UseEmbedded(directory.Path));
            await using (var server = await ServerProcess.StartRedisAsync("--appendonly", "yes", "--appendfsync", "everysec"))
                await MeasureAsync("redis-server", millrace => millrace.UseRedis($"127.0.0.1:{server.Port}"));
        }

        Console.WriteLine();
    }

    private static async Task MeasureAsync(string name, Action<MillraceBuilder> useStore)
    {
        var left = 0;
        var all = new TaskCompletionSource();
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddMillrace(millrace =>
        {
            useStore(millrace);
            millrace
                .AddSaga<BenchSaga>("orders", "sagas", options => options.ConfigureConsumer(Configure))
                .AddConsumer<BenchCommand>("commands", "services", Answer, Configure)
                .AddConsumer<BenchEnded>("ended", "count", Count, Configure);
        });
        using var host = builder.Build();
        await host.StartAsync();
        var publisher = host.Services.GetRequiredService<Publisher>();

        await RunSagasAsync("warm", WarmUp);
        var seconds = await RunSagasAsync("measured", Sagas);
        Report.Row(name, Sagas * StepsEach / seconds, Sagas / seconds);
        await host.StopAsync();

        async Task<double> RunSagasAsync(string prefix, int count)
        {
            left = count;
            all = new(TaskCreationOptions.RunContinuationsAsynchronously);
            var start = Stopwatch.GetTimestamp();
            foreach (var batch in Enumerable.Range(0, count).Chunk(100))
                await publisher.PublishManyAsync("orders", batch.Select(id => new BenchPlaced($"{prefix}-{id}")).ToList());
            await all.Task.WaitAsync(Deadline);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        static void Configure(ConsumerOptions options) => options.Concurrency = Concurrency;

        static Task Answer(BenchCommand command, MessageContext context, CancellationToken cancellationToken)
        {
            context.Publish("orders", new BenchAnswer(command.Id, command.Number));
            return Task.CompletedTask;
        }

        Task Count(BenchEnded message, MessageContext context, CancellationToken cancellationToken)
        {
            if (Interlocked.Decrement(ref left) == 0)
                all.SetResult();
            return Task.CompletedTask;
        }
    }

    [Message("bench.placed")]
    internal sealed record BenchPlaced(string Id);

    [Message("bench.command")]
    internal sealed record BenchCommand(string Id, int Number);

    [Message("bench.answer")]
    internal sealed record BenchAnswer(string Id, int Number);

    [Message("bench.ended")]
    internal sealed record BenchEnded(string Id);

    internal sealed record BenchState(string Id, int Answers);

    internal sealed class BenchSaga : Saga<BenchState>
    {
        public BenchSaga()
            : base("bench")
        {
            Step("step").UndoBy("commands", (state, number) => new BenchCommand(state.Id, -1));
            On<BenchPlaced>().CorrelateBy(m => m.Id).Start((m, saga) =>
            {
                saga.Timeout("limit", TimeSpan.FromMinutes(15));
                saga.Send("commands", new BenchCommand(m.Id, 1));
                return new(m.Id, 0);
            });
            On<BenchAnswer>().CorrelateBy(m => m.Id).Completes("step", m => $"{m.Number}").Handle((state, m, saga) =>
            {
                if (m.Number + 1 < StepsEach)
                    saga.Send("commands", new BenchCommand(m.Id, m.Number + 1));
                else
                {
                    saga.Send("ended", new BenchEnded(m.Id));
                    saga.Complete();
                }

                return state with { Answers = m.Number };
            });
            OnTimeout("limit", (_, saga) => saga.Compensate("too long"));
        }
    }
}
